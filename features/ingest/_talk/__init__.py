"""What is said: messages of many vocabularies, as chat messages and as events."""
