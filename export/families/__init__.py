"""Families of networks that learn what is normal, one a file, all held to one contract (`base.Family`).

`windows` are those that see windows of rows, `pictures` those made for pictures; `registry` knows them by name.
"""
