"""``hopgrad play``: the explorer served on this machine, for a formula that is typed or a file that is edited.

`server` answers the browser, `jobs` has each explanation computed in a process of its own that is stopped when it takes
too long, and `worker` is what runs there. The server and its packages are an extra: ``pip install 'hopgrad[play]'``.
"""
