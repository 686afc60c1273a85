"""`ampedge serve` as a service of systemd: its unit, where its files go, how it is asked and told."""
