"""Modbus TCP, both directions: the codec, the block planner, the polling client, the slave we host."""
