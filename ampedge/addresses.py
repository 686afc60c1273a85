"""Names of hosts, looked up without waiting for ever."""
