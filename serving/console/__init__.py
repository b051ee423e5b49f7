"""The console: web pages on which people see, take over and close handoffs."""
