"""The roof: the `seawall` command. Each command is a module that only its own use imports."""
