"""The process: opens what a configuration names, runs it, takes another configuration, and ends in order.

`monitor` is the life of the process, `running` what is open meanwhile, `view` what it tells pages; `plan` says what a
reload is to change, and `exchange` changes all of it or nothing.
"""
