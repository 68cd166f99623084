"""Simulated sensors over real MQTT: behaviour and signals here, the wire in `fleet.mqtt.device`."""
