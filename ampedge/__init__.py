"""ampedge takes a classifier from a table of sensor readings to a label on MQTT."""

__version__ = "0.1.0"
