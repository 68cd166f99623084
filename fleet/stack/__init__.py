"""The local stack: PostgreSQL, Valkey and an MQTT broker as child processes, and the supervisor of `manage.py up`.

Knows nothing of Django: it starts before the settings can be read, because it is what makes them.
"""
