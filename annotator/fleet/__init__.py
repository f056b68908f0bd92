"""Many recordings: processes that die, several machines, storage elsewhere. The verbs know nothing of it."""
