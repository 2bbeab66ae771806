// A name for what is asked of the server, so that it is done once however often it is asked for.

/** The same name as long as the same is asked for: also after an answer that was lost. */
export class Once {
  private asked: { readonly what: string; readonly nonce: string } | null = null;

  constructor(private readonly fresh: () => string = () => crypto.randomUUID()) {}

  nonce(of: unknown): string {
    const what = JSON.stringify(of);
    if (this.asked?.what !== what) this.asked = { what, nonce: this.fresh() };
    return this.asked.nonce;
  }
}
