"""What moves scores: importance, interactions, change between two days, one lead.

No new score: everything here adds up to what models/scoring gave.
"""
