"""What a layer gives, how that comes about and what it costs, as values, texts and tables."""
