"""Past one machine: parts of a data set put together, and tasks for the executors of datatrove."""
