"""Letters as dots, made by tools/fonts.py: data only."""
