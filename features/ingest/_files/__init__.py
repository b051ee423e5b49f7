"""Files as records: opening, cutting, weighing, refusing."""
