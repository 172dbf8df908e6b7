"""Steps from one schema of the queue's database to the next, oldest first."""
