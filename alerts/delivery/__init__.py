"""How a notification leaves: addresses and their keys, the message, the way out and what guards it.

Nothing here reads or writes the database; `alerts.services` says what is sent when.
"""
