"""Everything that speaks MQTT; no other package imports paho."""
