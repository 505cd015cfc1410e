"""The subcommands of `aez`, one in a module. Each imports what it needs when it runs, so that `--help` is instant."""
