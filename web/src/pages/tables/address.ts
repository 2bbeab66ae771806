// What the Tables page shows, as the address says it.

export interface TableView {
  readonly table: string | null;
  readonly where: string;
  /** `null`: as the page chooses. */
  readonly sort: { readonly column: string; readonly descending: boolean } | null;
  readonly limit: number;
}

export const LIMITS = [100, 500, 2_000, 10_000] as const;
const LIMIT = 500;

export function parseTableView(search: string): TableView {
  const query = new URLSearchParams(search);
  const column = query.get('sort') || null;
  const limit = Number(query.get('limit'));
  return {
    table: query.get('table') || null,
    where: query.get('where') ?? '',
    sort: column === null ? null : { column, descending: query.get('dir') === 'desc' },
    limit: LIMITS.find((one) => one === limit) ?? LIMIT,
  };
}

export function formatTableView({ table, where, sort, limit }: TableView): string {
  const query = new URLSearchParams();
  if (table !== null) query.set('table', table);
  if (where !== '') query.set('where', where);
  if (sort !== null) {
    query.set('sort', sort.column);
    if (sort.descending) query.set('dir', 'desc');
  }
  if (limit !== LIMIT) query.set('limit', String(limit));
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}
