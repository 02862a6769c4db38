"""`whence rebuild`: the scores made anew from the log, beside those that serve, and put in their place."""
