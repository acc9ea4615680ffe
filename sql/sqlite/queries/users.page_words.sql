-- users.page_words
-- A user matches at the first of the words that begin with the prefix, and at no other.
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified, user_id, entry.word,
       entry.word = (SELECT min(word) FROM user_name_words AS first
                     WHERE first.user_id = entry.user_id AND first.word >= :prefix) AS is_first
FROM user_name_words AS entry INDEXED BY user_name_words_by_word LEFT JOIN users ON id = user_id
WHERE (entry.word, user_id) > (:after, :after_id) AND entry.word < :until
ORDER BY entry.word, user_id
LIMIT 1000
