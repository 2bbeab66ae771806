/** How many random cases: `SOAK=20 npm test` tries twenty times as many. */
export function runs(count: number): { readonly numRuns: number } {
  return { numRuns: count * Number(process.env.SOAK ?? 1) };
}
