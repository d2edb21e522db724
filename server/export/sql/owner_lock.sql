-- Only one transaction at a time makes a file of an owner known, so that none overlooks what another adds.
-- $1 owner. One row. Locks the owner (an advisory lock) until the end of the transaction.
SELECT 1 FROM pg_advisory_xact_lock(1701277807, hashtext($1::text))
