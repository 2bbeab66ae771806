/** Delivery classes as the protocol writes them. Pure. */
import type { DeliverRequest } from './protocol.ts';
import type { Deliver } from './types.ts';

/** `undefined`: every change, as without the option. */
export function deliverRequest(deliver: Deliver | undefined): DeliverRequest | undefined {
  if (deliver === undefined || deliver === 'strict' || deliver === 'latest') {
    return deliver === 'strict' ? undefined : deliver;
  }
  if ('everyMs' in deliver) {
    return { every_ms: deliver.everyMs };
  }
  const { sample } = deliver;
  if (typeof sample === 'number') {
    return { sample };
  }
  const { perSecond, value, groupBy } = sample;
  return {
    sample: {
      per_second: perSecond,
      ...(value === undefined ? {} : { value }),
      ...(groupBy === undefined ? {} : { group_by: groupBy }),
    },
  };
}

/** The same as a field of `subscribe`. */
export function deliverField(deliver: Deliver | undefined): { readonly deliver?: DeliverRequest } {
  const request = deliverRequest(deliver);
  return request === undefined ? {} : { deliver: request };
}
