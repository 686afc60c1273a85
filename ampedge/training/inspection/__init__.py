"""What is wrong with a table, before anything is trained on it and as training itself checks it."""
