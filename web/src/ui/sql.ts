// Names as SQL reads them.

/** A name that means the column of this name, whatever characters or keywords it is made of. */
export function quoteName(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.has(name.toLowerCase())
    ? name
    : `"${name.replaceAll('"', '""')}"`;
}

const RESERVED = new Set(
  `all and any as asc between by case cast check column create current_date current_time current_timestamp default delete desc
  distinct else end escape exists false for foreign from glob group having in index insert interval into is isnull join key like
  limit natural not notnull null offset on or order primary references regexp select set some table then to true union unique
  update user using values when where with`.split(/\s+/),
);
