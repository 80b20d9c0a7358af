import { createSocket } from 'node:dgram';
import dnsPacket from 'dns-packet';
import { serveRequests } from '../../test/support/netns-requests.ts';

interface Load {
  readonly port: number;
  readonly services: number;
  readonly inFlight: number;
  readonly seconds: number;
}

/** Asks for A and AAAA of services in turn, `inFlight` at a time over eight sockets. A question without an answer after a second is lost. */
serveRequests({
  async load({ port, services, inFlight, seconds }: Load) {
    const timesMs: number[] = [];
    let lost = 0;
    const end = performance.now() + seconds * 1000;
    const sockets = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
        await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve));
        return socket;
      }),
    );
    await Promise.all(
      sockets.map(async (socket) => {
        const waiting = new Map<number, (answered: boolean) => void>();
        socket.on('message', (message) => waiting.get(message.readUInt16BE(0))?.(true));
        let id = 0;
        const one = async (): Promise<void> => {
          while (performance.now() < end) {
            const own = (id = (id + 1) & 0xffff);
            const type = own % 2 === 0 ? 'A' : 'AAAA';
            const name = `s${(own * 31) % services}.default.svc.cluster.local`;
            const message = dnsPacket.encode({
              type: 'query',
              id: own,
              flags: dnsPacket.RECURSION_DESIRED,
              questions: [{ type, name }],
            });
            const begun = performance.now();
            const answered = await new Promise<boolean>((resolve) => {
              const timer = setTimeout(() => resolve(false), 1_000);
              waiting.set(own, (yes) => (clearTimeout(timer), resolve(yes)));
              socket.send(message);
            });
            waiting.delete(own);
            if (answered) timesMs.push(performance.now() - begun);
            else lost++;
          }
        };
        await Promise.all(Array.from({ length: inFlight / 8 }, one));
        socket.close();
      }),
    );
    timesMs.sort((a, b) => a - b);
    const at = (share: number): number => timesMs[Math.floor(timesMs.length * share)] ?? NaN;
    return { perSecond: timesMs.length / seconds, p50: at(0.5), p99: at(0.99), lost };
  },
});
