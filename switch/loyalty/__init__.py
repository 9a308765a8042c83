"""Members, cards, programs, rules, offers and rewards come to live here: pure, knowing nobody above."""
