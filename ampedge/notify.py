"""What systemd is told: that the service is ready, alive, stopping."""
