"""Dead letters: the messages that consumers gave up, in every format that is known, one adapter each.

Nothing is imported here: an analysis needs no driver of a broker or a database.
"""
