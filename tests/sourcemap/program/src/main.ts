import { ship, type Order } from "./util";

const orders: Order[] = [
  { id: 1, total: 10 },
  { id: 2, total: -1 },
];

function shipAll(list: Order[]): string[] {
  return list.map((order) => ship(order));
}

try {
  console.log(shipAll(orders));
} catch (error) {
  console.log((error as Error).stack);
}
