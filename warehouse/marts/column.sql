-- What a column means, its unit, and what null says.
COMMENT ON COLUMN {name}.{column} IS '{about}';
