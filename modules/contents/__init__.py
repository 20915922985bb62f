"""What files of pictures and films hold beside what they show. Parts are walked by their sizes; no torch here."""
