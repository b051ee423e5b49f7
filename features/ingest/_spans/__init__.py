"""What spans tell: observations of any SDK, put together into logs."""
