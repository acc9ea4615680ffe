-- import.key
INSERT INTO main.imported_hashes_key (only_row, key) VALUES (1, :key) ON CONFLICT DO NOTHING
