import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { KubectlBed } from './bed.ts';

/** The commands of docs/kubectl.md, one after the other, as somebody would who tries them. */
export function documentedTopic(bed: KubectlBed): void {
  describe('keeps what its page promises', () => {
    it('runs every command that docs/kubectl.md shows', async () => {
      const page = readFileSync('docs/kubectl.md', 'utf8');
      const blocks = [...page.matchAll(/<!-- run: kubectl -->\n```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);
      const commands = blocks.flatMap((block) => block.trim().split('\n'));
      assert.ok(commands.length > 5, page);
      for (const command of commands) {
        const said = await bed.shell(command);
        assert.equal(said.code, 0, `${command}\n${said.stdout}${said.stderr}`);
      }
    });
  });
}
