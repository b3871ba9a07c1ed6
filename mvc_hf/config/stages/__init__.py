"""The settings of each stage, a file a subject: default, help, limits and the commands that take it."""
