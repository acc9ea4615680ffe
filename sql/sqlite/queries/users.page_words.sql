-- users.page_words
-- A user matches at the first of the words that begin with the prefix, and at no other. The filter is that of the page; the users
-- whom it rejects are not looked up.
SELECT id, email, name, users.standing, users.role, email_verified, has_password, users.created, last_login,
       entry.user_id, entry.word,
       entry.word = (SELECT min(word) FROM user_name_words AS first
                     WHERE first.user_id = users.id AND first.word >= :prefix) AS is_first
FROM user_name_words AS entry INDEXED BY user_name_words_by_word
LEFT JOIN users ON id = CASE
    WHEN (:standing IS NULL OR entry.standing = :standing) AND (:role IS NULL OR entry.role = :role)
        AND entry.created >= :created_from AND entry.created < :created_before THEN entry.user_id
END
WHERE (entry.word, user_id) > (:after, :after_id) AND entry.word < :until
ORDER BY entry.word, user_id
LIMIT 200
