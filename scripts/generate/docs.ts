import protobuf from 'protobufjs';

/** `lib/api/gen/docs.ts`: what the contract's comments say of each message (under the empty name) and of its fields. */
export function docsOf(root: protobuf.Root): string {
  const lines = typesIn(root)
    .filter((type) => type.fullName.startsWith('.troupe.v1.'))
    .map((type) => {
      const said = [
        ['', type.comment] as const,
        ...type.fieldsArray.map((field) => [field.name, field.comment] as const),
      ];
      const members = said.flatMap(([name, comment]) =>
        comment === null || comment === '' ? [] : [`${JSON.stringify(name)}: ${JSON.stringify(oneLine(comment))}`],
      );
      return members.length === 0 ? '' : `  ${type.name}: { ${members.join(', ')} },\n`;
    });
  return `/** Descriptions of messages (under the empty name) and of their fields, for people. */
export const docs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
${lines.join('')}};
`;
}

const oneLine = (comment: string): string => comment.replaceAll(/\s+/g, ' ').trim();

function typesIn(space: protobuf.NamespaceBase): protobuf.Type[] {
  return space.nestedArray.flatMap((object) => [
    ...(object instanceof protobuf.Type ? [object] : []),
    ...(object instanceof protobuf.Namespace ? typesIn(object) : []),
  ]);
}
