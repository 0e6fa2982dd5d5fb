"""Six networks, each a module: how it is made, its loss, its training, and the point at which it is explained.

They are written as a user would write them. The scripts of ``examples/`` train them to the end.
"""
