-- Once for each environment, as the master user in the database `board`, before the first rotation. Needs psql 15.
-- The application's two users take turns at each rotation; whatever either makes belongs to board_owner.
\set ON_ERROR_STOP on
\getenv password BOARD_PASSWORD
BEGIN;
CREATE ROLE board_owner;
CREATE ROLE board LOGIN PASSWORD :'password' IN ROLE board_owner;
-- Without a password nobody logs in; the rotation sets it.
CREATE ROLE board_clone LOGIN IN ROLE board_owner;
ALTER ROLE board SET role TO board_owner;
ALTER ROLE board_clone SET role TO board_owner;
REVOKE ALL ON DATABASE board FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE board TO board_owner;
GRANT USAGE, CREATE ON SCHEMA public TO board_owner;
COMMIT;
