"""Lists for people who call: who works which lead, at most how many, and what each rule costs in expected wins.

No score, rank or tier is decided here, and nothing here is read in training.
"""
