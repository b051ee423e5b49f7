"""From the events of an agent's log to the signals of a model. Pure."""
