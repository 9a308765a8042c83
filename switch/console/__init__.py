"""The web console and its JSON API come to live here: the top of the switch, which nothing below imports."""
