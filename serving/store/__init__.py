"""What is kept, how it is kept whole, and how it is proven."""
