"""The battery's tasks: one module a function, each with `TASKS`."""
