import { Graph, layout } from "@dagrejs/dagre";
import { Background, Controls, type Edge, Handle, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo } from "react";
import { State } from "../ui/state.tsx";
import type { Step } from "./runs.tsx";

const WIDTH = 190;
const HEIGHT = 64;

/** A step's place, once it is laid out: its middle. */
interface Box {
  readonly width: number;
  readonly height: number;
  readonly x: number;
  readonly y: number;
}

type StepNode = Node<{ readonly step: Step }, "step">;

export interface StepGraphProps {
  readonly steps: readonly Step[];
  readonly chosen: string | null;
  readonly onChoose: (id: string) => void;
}

/** The steps of a run, each behind those that it depends on; the list below it says the same to those who do not see it. */
export default function StepGraph({ steps, chosen, onChoose }: StepGraphProps) {
  const { nodes, edges } = useMemo(() => placed(steps), [steps]);
  const marked = nodes.map((node) => ({ ...node, selected: node.id === chosen }));
  return (
    <div className="graph">
      <ReactFlow
        nodes={marked}
        edges={edges}
        nodeTypes={NODE_TYPES}
        onNodeClick={(_event, { id }) => onChoose(id)}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        nodesFocusable={false}
        fitView
        fitViewOptions={{ maxZoom: 1 }}
        zoomOnScroll={false}
        preventScrolling={false}
        proOptions={{ hideAttribution: true }}
        aria-label="Steps as a graph"
      >
        <Background />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}

function StepBox({ data: { step } }: NodeProps<StepNode>) {
  return (
    <div className="step-box">
      <Handle type="target" position={Position.Left} />
      <strong>{step.nodeId}</strong>
      <State state={step.state} />
      <Handle type="source" position={Position.Right} />
    </div>
  );
}

const NODE_TYPES = { step: StepBox };

/** @returns the steps with their places. Where none says what it depends on, each follows the one before it. */
function placed(steps: readonly Step[]): { nodes: StepNode[]; edges: Edge[] } {
  const byName = new Map(steps.map((step) => [step.nodeId, step]));
  const areLinked = steps.some(({ dependsOn }) => dependsOn.length > 0);
  const links = areLinked
    ? steps.flatMap((step) => step.dependsOn.flatMap((name) => linkOf(byName.get(name), step)))
    : steps.flatMap((step, index) => linkOf(steps[index - 1], step));
  const graph = new Graph<object, Partial<Box>, object>();
  graph.setGraph({ rankdir: "LR", nodesep: 24, ranksep: 48 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id } of steps) graph.setNode(id, { width: WIDTH, height: HEIGHT });
  for (const [from, to] of links) graph.setEdge(from, to);
  layout(graph);
  const nodes = steps.map((step): StepNode => {
    const { x = 0, y = 0 } = graph.node(step.id);
    const position = { x: x - WIDTH / 2, y: y - HEIGHT / 2 };
    return { id: step.id, type: "step", position, width: WIDTH, height: HEIGHT, data: { step } };
  });
  return { nodes, edges: links.map(([source, target]) => ({ id: `${source} ${target}`, source, target })) };
}

function linkOf(from: Step | undefined, to: Step): (readonly [string, string])[] {
  return from ? [[from.id, to.id]] : [];
}
