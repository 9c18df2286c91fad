export interface Order {
  id: number;
  total: number;
}

export function ship(order: Order): string {
  if (order.total < 0) {
    throw new RangeError(`order ${order.id} has a negative total`);
  }
  return `shipped ${order.id}`;
}
