-- Detaching writes everything into the one file and leaves no log beside it.
COMMIT;
USE memory;
DETACH catalogue;
