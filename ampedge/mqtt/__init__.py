"""MQTT, both directions: topics, the one connection, the publisher, the subscriber, the embedded broker."""
