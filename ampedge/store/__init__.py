"""What is kept on disk: the event log, which is outbox and history in one, and the directory that holds it."""
